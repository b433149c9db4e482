import { main } from '../support/campaign.js';
import { stormOfCard } from './card.js';

const campaigns = { card: stormOfCard };

process.exitCode = await main('storm', campaigns, process.argv.slice(2));
